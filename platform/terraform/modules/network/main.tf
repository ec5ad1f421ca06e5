# A VPC over three zones. Three kinds of subnets, by who is in them:
#   private   nodes and pods; they reach the internet through NAT
#   public    NAT and the load balancers that the internet reaches; no pod is here
#   endpoint  the interface endpoints of AWS, the control plane's interfaces, load balancers for the
#             inside; nothing here reaches the internet

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.id

  # A quarter of the VPC for the pods of each zone; of the last quarter a sixteenth for each zone's
  # load balancers, and a sixty-fourth for its endpoints. tenantry_cloud counts alike.
  cidrs = cidrsubnets(var.cidr, 2, 2, 2, 6, 6, 6, 8, 8, 8)

  subnets = {
    private  = zipmap(var.zones, slice(local.cidrs, 0, 3))
    public   = zipmap(var.zones, slice(local.cidrs, 3, 6))
    endpoint = zipmap(var.zones, slice(local.cidrs, 6, 9))
  }

  nat_zones = var.nat == "zone" ? var.zones : slice(var.zones, 0, 1)

  # What controllers in the cluster look for.
  found_by = var.cluster_name == null ? { private = {}, public = {}, endpoint = {} } : {
    private  = { "karpenter.sh/discovery" = var.cluster_name }
    public   = { "kubernetes.io/role/elb" = "1" }
    endpoint = { "kubernetes.io/role/internal-elb" = "1" }
  }
}

resource "aws_vpc" "this" {
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = var.name, "tenantry:vpc" = var.name }
}

# Everybody who names no security group is in this one: it lets nothing through.
resource "aws_default_security_group" "closed" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "${var.name}-default-closed" }
}

resource "aws_subnet" "private" {
  for_each = local.subnets.private

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = each.value
  tags              = merge(local.found_by.private, { Name = "${var.name}-private-${each.key}" })
}

resource "aws_subnet" "public" {
  for_each = local.subnets.public

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = each.value
  # What is here asks for an address of its own: NAT gateways and load balancers do.
  map_public_ip_on_launch = false
  tags                    = merge(local.found_by.public, { Name = "${var.name}-public-${each.key}" })
}

resource "aws_subnet" "endpoint" {
  for_each = local.subnets.endpoint

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = each.value
  tags              = merge(local.found_by.endpoint, { Name = "${var.name}-endpoint-${each.key}" })
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = var.name }
}

resource "aws_eip" "nat" {
  for_each = toset(local.nat_zones)

  domain = "vpc"
  tags   = { Name = "${var.name}-nat-${each.key}" }
}

resource "aws_nat_gateway" "this" {
  for_each = toset(local.nat_zones)

  allocation_id = aws_eip.nat[each.key].id
  subnet_id     = aws_subnet.public[each.key].id
  tags          = { Name = "${var.name}-${each.key}" }

  depends_on = [aws_internet_gateway.this]
}
