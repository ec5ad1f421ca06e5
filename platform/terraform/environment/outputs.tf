locals {
  # The host alone: the chart's images say the rest, as tenantry/producer.
  registry = "${coalesce(var.registry.account, local.account)}.dkr.ecr.${coalesce(var.registry.region, var.region)}.amazonaws.com"
  runbooks = "${var.git.url}/${var.git.source}/src/branch/${var.git.branch}/docs/operations.md"
}

output "facts" {
  description = "What the chart takes as facts of the environment: `tenantctl facts` writes them into the fleet."
  value = {
    environment     = var.environment
    cluster         = module.cluster.name
    account         = local.account
    region          = var.region
    domain          = var.domain.name
    registry        = local.registry
    registryTable   = aws_dynamodb_table.registry.name
    maxMessageBytes = var.limits.max_message_bytes
    identity        = var.identity

    roles = {
      producer     = module.identity.roles["producer"]
      consumer     = module.identity.roles["consumer"]
      poolProducer = module.identity.roles["pool-producer"]
      poolConsumer = module.identity.roles["pool-consumer"]
      tenantReader = module.identity.roles["tenant-reader"]
    }
    network = {
      loadBalancerCidrs = module.network.subnet_cidrs.public
      endpointCidrs     = module.network.subnet_cidrs.endpoint
    }
    addons = {
      keda        = var.addons["keda"].enabled
      monitoring  = var.addons["monitoring"].enabled
      externalDns = var.addons["external-dns"].enabled
    }
    module = {
      tags = var.tags
    }
    monitoring = {
      runbooks = local.runbooks
    }
    telemetry = {
      endpoint    = var.addons["opentelemetry-collector"].enabled ? "http://opentelemetry-collector.monitoring:4318" : ""
      sampleRatio = var.telemetry.sample_ratio
    }
  }
}

output "context" {
  description = "How tenantctl reaches the environment from within the cluster: the fleet's fact of this name."
  value       = <<-EOT
    environment = "${var.environment}"
    registry_table = "${aws_dynamodb_table.registry.name}"
    exports = "s3://${aws_s3_bucket.exports.id}/tenants"
    states = "s3://${aws_s3_bucket.state_copies.id}/states"
    bus = "${aws_cloudwatch_event_bus.outcomes.name}"

    [fleet]
    url = "${var.git.url}/${var.git.fleet}.git"
    branch = "${var.git.branch}"
    gitea = "${var.git.url}"
    credentials = "/run/secrets/fleet/credentials"

    [cluster]
    kind = "kubernetes"

    [aws]
    region = "${var.region}"

    [charts]
    registry = "https://${local.registry}"
    repository = "${var.registry.prefix}/tenant-template"
    is_ecr = true

    [routes]
    domain = "${var.domain.name}"

    [bounds]
    basic_a_pool = ${var.bounds.basic_a_pool}
    advanced_a_pool = ${var.bounds.advanced_a_pool}
    premium_a_group = ${var.bounds.premium_a_group}
    load_balancers = ${var.bounds.load_balancers}
  EOT
}

output "cluster" {
  description = "What add-ons are told of the cluster and its machines."
  value = {
    name               = module.cluster.name
    region             = var.region
    vpc_id             = module.network.vpc_id
    interruption_queue = aws_sqs_queue.interruptions.name
    node_role          = module.identity.karpenter_node_role_name
    addons             = local.enabled
    node_class         = var.node_class
    node_pools         = var.node_pools
    domain             = var.domain
    cidr               = var.network.cidr
    registry           = local.registry
    runbooks           = local.runbooks
    git = {
      fleet  = "${var.git.url}/${var.git.fleet}"
      branch = var.git.branch
      # From where pushes are told. Where Gitea is no peer, the interval alone finds them.
      cidr = try(var.network.peers["shared"].cidr, var.network.cidr)
    }
  }
}

output "control_queues" {
  description = "Addresses of the queues that take requests."
  value       = { for kind, queue in aws_sqs_queue.control : kind => queue.url }
}

output "alerts" {
  description = "The topic that is told of dead letters and of the month's cost."
  value       = aws_sns_topic.alerts.arn
}
