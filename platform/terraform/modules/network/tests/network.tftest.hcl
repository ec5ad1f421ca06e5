# The network without AWS.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-central-1", name = "eu-central-1" }
  }
  mock_resource "aws_vpc_endpoint" {
    defaults = { dns_entry = [{ dns_name = "*.vpce-1.vpce.amazonaws.com", hosted_zone_id = "Z1" }] }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:flows" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/flows" }
  }
  override_data {
    target = data.aws_vpc.peer["shared"]
    values = { id = "vpc-00000001", cidr_block = "10.14.0.0/18" }
  }
  override_data {
    target = data.aws_vpc.peer["workstation"]
    values = { id = "vpc-00000002", cidr_block = "10.15.0.0/24" }
  }
  override_data {
    target = data.aws_route_tables.peer["shared"]
    values = { ids = ["rtb-1", "rtb-2"] }
  }
  override_data {
    target = data.aws_route_tables.peer["workstation"]
    values = { ids = ["rtb-3"] }
  }
}

variables {
  name                = "dev"
  cidr                = "10.16.0.0/16"
  zones               = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  nat                 = "one"
  interface_endpoints = ["dynamodb", "sqs", "sts", "s3"]
  flow_log_days       = 7
  cluster_name        = "dev"
}

run "alone" {
  assert {
    condition = output.subnet_cidrs == {
      private  = ["10.16.0.0/18", "10.16.64.0/18", "10.16.128.0/18"]
      public   = ["10.16.192.0/22", "10.16.196.0/22", "10.16.200.0/22"]
      endpoint = ["10.16.204.0/24", "10.16.205.0/24", "10.16.206.0/24"]
    }
    error_message = "Nine subnets, in the order of the zones, none of which overlaps another."
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 1 && alltrue([for route in aws_route.private_to_internet : route.nat_gateway_id == aws_nat_gateway.this["eu-central-1a"].id])
    error_message = "One NAT gateway serves all zones."
  }
  assert {
    condition = (
      alltrue([for subnet in aws_subnet.private : subnet.tags["karpenter.sh/discovery"] == "dev" && !contains(keys(subnet.tags), "kubernetes.io/role/elb")])
      && alltrue([for subnet in aws_subnet.public : subnet.tags["kubernetes.io/role/elb"] == "1" && !contains(keys(subnet.tags), "karpenter.sh/discovery")])
      && alltrue([for subnet in aws_subnet.endpoint : subnet.tags["kubernetes.io/role/internal-elb"] == "1" && !contains(keys(subnet.tags), "karpenter.sh/discovery")])
    )
    error_message = "Nodes go to private subnets alone, and load balancers to none of them."
  }
  assert {
    condition     = alltrue([for subnet in concat(values(aws_subnet.private), values(aws_subnet.public), values(aws_subnet.endpoint)) : !coalesce(subnet.map_public_ip_on_launch, false)])
    error_message = "Nothing gets a public address without asking."
  }
  assert {
    condition     = length(aws_default_security_group.closed.ingress) == 0 && length(aws_default_security_group.closed.egress) == 0
    error_message = "The default security group lets nothing through."
  }
  assert {
    condition     = [for route in values(aws_route.private_to_internet) : route.destination_cidr_block] == ["0.0.0.0/0", "0.0.0.0/0", "0.0.0.0/0"] && aws_route.public_to_internet.gateway_id == aws_internet_gateway.this.id
    error_message = "Private subnets reach the internet through NAT, public ones by the gateway."
  }
  assert {
    condition     = length(aws_route.to_peer) == 0 && length(aws_vpc_peering_connection.this) == 0
    error_message = "Nobody is peered."
  }
  assert {
    condition     = join(",", keys(aws_vpc_endpoint.interface)) == "dynamodb,s3,sqs,sts" && join(",", keys(aws_route53_zone.endpoint)) == "dynamodb,sqs,sts"
    error_message = "S3's name leads to its gateway: no zone of it where no peer would use it."
  }
  assert {
    condition     = alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.private_dns_enabled == false && length(endpoint.subnet_ids) == 3])
    error_message = "Endpoints are in every zone, and their names are ours."
  }
  assert {
    condition     = aws_route53_record.endpoint["sqs"].name == "sqs.eu-central-1.amazonaws.com" && one(aws_route53_record.endpoint["sqs"].alias).name == "\\052.vpce-1.vpce.amazonaws.com"
    error_message = "A service's name leads to its endpoint; a star in that one's name, as in S3's, is no pattern."
  }
  assert {
    condition     = join(",", keys(aws_vpc_security_group_ingress_rule.endpoints)) == "vpc" && aws_vpc_security_group_ingress_rule.endpoints["vpc"].from_port == 443
    error_message = "Endpoints take HTTPS from the VPC, and nothing else."
  }
  assert {
    condition = alltrue([
      for endpoint in aws_vpc_endpoint.interface :
      jsondecode(endpoint.policy).Statement[0].Condition.StringEquals["aws:PrincipalAccount"] == "123456789012"
    ])
    error_message = "Endpoints are for principals of this account."
  }
  assert {
    condition     = jsondecode(aws_vpc_endpoint.interface["sqs"].policy).Statement[0].Condition.StringEqualsIfExists["aws:ResourceAccount"] == "123456789012" && !can(jsondecode(aws_vpc_endpoint.interface["sts"].policy).Statement[0].Condition.StringEqualsIfExists)
    error_message = "What holds data is reached in this account alone."
  }
  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL" && aws_cloudwatch_log_group.flows.retention_in_days == 7 && aws_cloudwatch_log_group.flows.name == "/tenantry/dev/flow-logs"
    error_message = "All flows are logged, for as long as the file says."
  }
}

run "peered" {
  variables {
    nat                 = "zone"
    interface_endpoints = ["dynamodb", "ecr.dkr", "s3", "sqs", "ssmmessages", "sts"]
    peers = {
      shared      = { cidr = "10.14.0.0/18", tag = "shared" }
      workstation = { cidr = "10.15.0.0/24", tag = "dev-workstation", reaches_services = true }
    }
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 3 && alltrue([for zone, route in aws_route.private_to_internet : route.nat_gateway_id == aws_nat_gateway.this[zone].id])
    error_message = "No zone goes through another's NAT gateway."
  }
  assert {
    condition     = length(aws_route.to_peer) == 10 && aws_route.to_peer["endpoint to workstation"].destination_cidr_block == "10.15.0.0/24"
    error_message = "Each of five tables leads to both peers; endpoints answer them, too."
  }
  assert {
    condition     = join(",", keys(aws_route.from_peer)) == "shared rtb-1,shared rtb-2,workstation rtb-3" && alltrue([for route in aws_route.from_peer : route.destination_cidr_block == "10.16.0.0/16"])
    error_message = "Each of the peers' tables leads back."
  }
  assert {
    condition = (
      [for vpc in aws_route53_zone.endpoint["sqs"].vpc : vpc.vpc_id if vpc.vpc_id != aws_vpc.this.id] == ["vpc-00000002"]
      && length(aws_route53_zone.endpoint["sqs"].vpc) == 2
      && [for vpc in aws_route53_zone.endpoint["s3"].vpc : vpc.vpc_id] == ["vpc-00000002"]
    )
    error_message = "Names resolve here and in peers that reach services, S3's in those alone."
  }
  assert {
    condition     = aws_route53_record.endpoint["ecr.dkr and below"].name == "*.dkr.ecr.eu-central-1.amazonaws.com"
    error_message = "A registry's name begins with its account."
  }
  assert {
    condition     = aws_vpc_endpoint.interface["ssmmessages"].policy == null || !strcontains(coalesce(aws_vpc_endpoint.interface["ssmmessages"].policy, "-"), "PrincipalAccount")
    error_message = "What takes no policy is given none."
  }
  assert {
    condition     = join(",", [for name, rule in aws_vpc_security_group_ingress_rule.endpoints : "${name} ${rule.cidr_ipv4}"]) == "vpc 10.16.0.0/16,workstation 10.15.0.0/24"
    error_message = "Endpoints let in peers that reach services, and no others."
  }
  assert {
    condition     = output.service_client_cidrs == ["10.15.0.0/24"]
    error_message = "The same that the API server lets in."
  }
}

run "shared_has_no_cluster" {
  variables {
    name         = "shared"
    cluster_name = null
  }
  assert {
    condition     = alltrue([for subnet in concat(values(aws_subnet.private), values(aws_subnet.public), values(aws_subnet.endpoint)) : join(",", keys(subnet.tags)) == "Name"])
    error_message = "No controller looks for subnets where no cluster is."
  }
}

run "a_peer_with_another_range" {
  command         = plan
  expect_failures = [data.aws_vpc.peer["workstation"]]
  variables {
    peers = { workstation = { cidr = "10.15.1.0/24", tag = "dev-workstation" } }
  }
}

run "what_is_none" {
  command         = plan
  expect_failures = [var.name, var.cidr, var.zones, var.nat, var.interface_endpoints]
  variables {
    name                = "dev-1"
    cidr                = "10.16.0.0/20"
    zones               = ["eu-central-1a", "eu-central-1a", "eu-central-1b"]
    nat                 = "none"
    interface_endpoints = ["sns"]
  }
}
