# The workstation seeds the repositories: peering leads to a peer and no further, so it has one of its
# own with the VPC in which Gitea is.

locals {
  # Where `shared` is a peer. Without it Gitea is reached some other way.
  to_git = { for name in ["workstation"] : name => module.network.peers[name] if var.workstation != null && contains(keys(var.network.peers), "shared") }

  to_git_routes = merge([
    for peer in values(local.to_git) : merge(
      { for table in peer.route_table_ids : "workstation ${table}" => { table = table, cidr = var.network.peers["shared"].cidr } },
      { for table in module.network.peers["shared"].route_table_ids : "shared ${table}" => { table = table, cidr = var.workstation.cidr } },
    )
  ]...)
}

resource "aws_vpc_peering_connection" "workstation_to_shared" {
  for_each = local.to_git

  vpc_id      = each.value.vpc_id
  peer_vpc_id = module.network.peers["shared"].vpc_id
  auto_accept = true
  tags        = { Name = "${var.environment}-workstation-shared" }
}

resource "aws_route" "workstation_to_shared" {
  for_each = local.to_git_routes

  route_table_id            = each.value.table
  destination_cidr_block    = each.value.cidr
  vpc_peering_connection_id = aws_vpc_peering_connection.workstation_to_shared["workstation"].id
}
