# VPCs that are peered: this account's, in this region. Both ends are ours, so both are routed here.

data "aws_vpc" "peer" {
  for_each = var.peers

  id   = each.value.vpc_id
  tags = each.value.vpc_id == null ? { "tenantry:vpc" = each.value.tag } : null

  lifecycle {
    postcondition {
      condition     = self.cidr_block == each.value.cidr
      error_message = "network.peers.${each.key}: ${self.id} has the range ${self.cidr_block}, and the variables file says ${each.value.cidr}."
    }
  }
}

data "aws_route_tables" "peer" {
  for_each = var.peers

  vpc_id = data.aws_vpc.peer[each.key].id

  # Ours say so, and what an environment may change says so: not a VPC's main table, which nobody
  # made and AWS leaves without tags.
  filter {
    name   = "tag-key"
    values = ["tenantry:vpc"]
  }

  lifecycle {
    postcondition {
      condition     = length(self.ids) > 0
      error_message = "network.peers.${each.key}: no route table there has the tag tenantry:vpc: tag those whose subnets are to reach this environment."
    }
  }
}

locals {
  services_peers = { for name, peer in var.peers : name => peer if peer.reaches_services }

  to_peers = merge([
    for table in keys(local.route_tables) : { for peer in keys(var.peers) : "${table} to ${peer}" => { table = table, peer = peer } }
  ]...)
  from_peers = merge([
    for peer in keys(var.peers) : { for table in data.aws_route_tables.peer[peer].ids : "${peer} ${table}" => { table = table, peer = peer } }
  ]...)
}

resource "aws_vpc_peering_connection" "this" {
  for_each = var.peers

  vpc_id      = aws_vpc.this.id
  peer_vpc_id = data.aws_vpc.peer[each.key].id
  auto_accept = true
  tags        = { Name = "${var.name}-${each.key}" }
}

resource "aws_route" "to_peer" {
  for_each = local.to_peers

  route_table_id            = local.route_tables[each.value.table]
  destination_cidr_block    = var.peers[each.value.peer].cidr
  vpc_peering_connection_id = aws_vpc_peering_connection.this[each.value.peer].id
}

resource "aws_route" "from_peer" {
  for_each = local.from_peers

  route_table_id            = each.value.table
  destination_cidr_block    = var.cidr
  vpc_peering_connection_id = aws_vpc_peering_connection.this[each.value.peer].id
}
