# The whole of an environment without AWS, of the variables file that is given:
#   terraform test -var-file=../../environments/dev.tfvars

mock_provider "aws" {
  source = "./tests/mocks"

  override_data {
    target = module.network.data.aws_vpc.peer["shared"]
    values = { id = "vpc-00000001", cidr_block = "10.14.0.0/18" }
  }
  override_data {
    target = module.network.data.aws_vpc.peer["workstation"]
    values = { id = "vpc-00000002", cidr_block = "10.15.0.0/24" }
  }
  override_data {
    target = module.network.data.aws_route_tables.peer["shared"]
    values = { ids = ["rtb-1"] }
  }
  override_data {
    target = module.network.data.aws_route_tables.peer["workstation"]
    values = { ids = ["rtb-2"] }
  }
}

run "made" {
  variables {
    protected = true
  }
  assert {
    condition     = output.rules
    error_message = "The variables go together."
  }
  assert {
    condition = join(",", sort(concat(
      [for queue in aws_sqs_queue.control : queue.name], [for queue in aws_sqs_queue.control_dead_letters : queue.name],
    ))) == "dev-control,dev-control-dead-letters,dev-control-deployment,dev-control-deployment-dead-letters,dev-control-offboarding,dev-control-offboarding-dead-letters,dev-control-onboarding,dev-control-onboarding-dead-letters"
    error_message = "The fleet's EventSource knows the queues by these names."
  }
  assert {
    condition = alltrue([
      for kind, queue in aws_sqs_queue.control_dead_letters :
      jsondecode(queue.redrive_allow_policy).sourceQueueArns == ["arn:aws:sqs:eu-central-1:123456789012:${aws_sqs_queue.control[kind].name}"]
    ])
    error_message = "Dead letters come from their own queue."
  }
  assert {
    condition     = alltrue([for queue in concat(values(aws_sqs_queue.control), values(aws_sqs_queue.control_dead_letters), [aws_sqs_queue.interruptions]) : queue.sqs_managed_sse_enabled])
    error_message = "Every queue is encrypted."
  }
  assert {
    condition     = aws_dynamodb_table.registry.name == "dev-tenants" && one(aws_dynamodb_table.registry.point_in_time_recovery).enabled && aws_dynamodb_table.registry.deletion_protection_enabled
    error_message = "The registry can be recovered, and is protected as the file says."
  }
  assert {
    condition     = jsondecode(aws_sqs_queue.interruptions.policy).Statement[0].Condition.ArnLike["aws:SourceArn"] == "arn:aws:events:eu-central-1:123456789012:rule/dev-karpenter-*" && alltrue([for rule in aws_cloudwatch_event_rule.interruptions : startswith(rule.name, "dev-karpenter-")])
    error_message = "The rules of this environment, and nobody else, write into Karpenter's queue."
  }
  assert {
    condition     = length(aws_cloudwatch_event_target.interruptions) == 5
    error_message = "Interruptions, rebalancing, state, reservations and health reach Karpenter."
  }
  assert {
    condition = alltrue([
      for kind, alarm in aws_cloudwatch_metric_alarm.control_dead_letters :
      alarm.dimensions == tomap({ QueueName = aws_sqs_queue.control_dead_letters[kind].name })
      && alarm.threshold == 0 && alarm.alarm_actions == toset([aws_sns_topic.alerts.arn])
    ]) && length(aws_cloudwatch_metric_alarm.control_dead_letters) == length(aws_sqs_queue.control)
    error_message = "Of each control queue, a single dead letter is told."
  }
  assert {
    condition = (
      aws_budgets_budget.monthly.limit_amount == tostring(var.limits.monthly_usd)
      && one(aws_budgets_budget.monthly.cost_filter).values == tolist(["user:tenantry:environment$dev"])
      && { for told in aws_budgets_budget.monthly.notification : told.notification_type => told.threshold } == { ACTUAL = 100, FORECASTED = 80 }
      && alltrue([for told in aws_budgets_budget.monthly.notification : told.subscriber_sns_topic_arns == toset([aws_sns_topic.alerts.arn])])
    )
    error_message = "A month of this environment that will cost four fifths of its limit, or costs all of it, is told."
  }
  assert {
    condition = alltrue([
      for document in [aws_kms_key.alerts.policy, aws_sns_topic_policy.alerts.policy] : alltrue([
        for statement in jsondecode(document).Statement :
        try(statement.Condition.StringEquals, null) == { "aws:SourceAccount" = "123456789012" } if try(statement.Principal.Service, "events.amazonaws.com") != "events.amazonaws.com"
      ]) && toset([for statement in jsondecode(document).Statement : statement.Principal.Service if can(statement.Principal.Service)]) == toset(["budgets.amazonaws.com", "cloudwatch.amazonaws.com", "events.amazonaws.com"])
    ]) && aws_sns_topic.alerts.kms_master_key_id == aws_kms_key.alerts.arn
    error_message = "Only these services publish to the encrypted topic, for this account alone."
  }
  assert {
    condition = (
      jsondecode(aws_cloudwatch_event_rule.alarms.event_pattern).resources[0].prefix == "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:dev-"
      && jsondecode(aws_cloudwatch_event_rule.alarms.event_pattern).detail.alarmName[0].anything-but == values(aws_cloudwatch_metric_alarm.control_dead_letters)[*].alarm_name
      && aws_cloudwatch_event_target.alarms.arn == aws_sns_topic.alerts.arn
    )
    error_message = "Alarms of this environment's instances are told, and those that have an action of their own are not told twice."
  }
  assert {
    condition = (
      aws_s3_bucket.state_copies.bucket == "dev-tenantry-tfstate-123456789012" && !aws_s3_bucket.state_copies.force_destroy
      && aws_s3_bucket_public_access_block.state_copies.restrict_public_buckets
      && one(aws_s3_bucket_versioning.state_copies.versioning_configuration).status == "Enabled"
      && one(one(aws_s3_bucket_server_side_encryption_configuration.state_copies.rule).apply_server_side_encryption_by_default).kms_master_key_id == aws_kms_key.state_copies.arn
      && one(one(aws_s3_bucket_lifecycle_configuration.state_copies.rule).noncurrent_version_expiration).noncurrent_days == 90
      && strcontains(aws_s3_bucket_policy.state_copies.policy, "aws:SecureTransport")
    )
    error_message = "Copies of states are kept, encrypted, and nobody else's."
  }
  assert {
    condition     = aws_s3_bucket.exports.bucket == "dev-tenantry-exports-123456789012" && aws_s3_bucket_public_access_block.exports.restrict_public_buckets
    error_message = "Exports are nobody else's."
  }
  assert {
    condition = (
      output.facts.network.loadBalancerCidrs == ["10.16.192.0/22", "10.16.196.0/22", "10.16.200.0/22"]
      && output.facts.network.endpointCidrs == ["10.16.204.0/24", "10.16.205.0/24", "10.16.206.0/24"]
    )
    error_message = "Policies let through who is in these subnets."
  }
  assert {
    condition     = output.facts.registry == "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    error_message = "Images come from the account's own registry, unless the file names another."
  }
  assert {
    condition     = module.network.service_client_cidrs == ["10.15.0.0/24"]
    error_message = "The workstation reaches services, the shared VPC does not."
  }
}

run "unprotected" {
  variables {
    protected   = false
    workstation = null
    alerts      = { emails = ["operations@example.com"] }
    network = {
      cidr                = "10.16.0.0/16"
      zones               = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
      nat                 = "one"
      interface_endpoints = ["dynamodb", "sqs", "sts"]
      flow_log_days       = 7
      peers               = {}
    }
    kubernetes = {
      version             = "1.35"
      service_cidr        = "172.20.0.0/16"
      public_access_cidrs = ["192.0.2.0/24"]
      log_days            = 14
      admins              = []
      viewers             = []
      operators           = []
    }
    registry = { account = "210987654321", region = "eu-west-1", prefix = "tenantry" }
  }
  assert {
    condition     = [for one in aws_sns_topic_subscription.alerts : one.endpoint] == ["operations@example.com"]
    error_message = "Whom the file names is told."
  }
  assert {
    condition     = !aws_dynamodb_table.registry.deletion_protection_enabled && aws_s3_bucket.state_copies.force_destroy
    error_message = "`make destroy` takes the protection off."
  }
  assert {
    condition     = output.facts.registry == "210987654321.dkr.ecr.eu-west-1.amazonaws.com"
    error_message = "Another account's registry can be used."
  }
}

run "ranges_that_overlap" {
  command         = plan
  expect_failures = [output.rules]
  variables {
    kubernetes = {
      version             = "1.35"
      service_cidr        = "10.16.0.0/20"
      public_access_cidrs = []
      log_days            = 14
      admins              = []
      viewers             = []
      operators           = []
    }
  }
}
