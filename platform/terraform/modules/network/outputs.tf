output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "Its range."
  value       = aws_vpc.this.cidr_block
}

output "subnet_ids" {
  description = "Subnets by kind (private, public, endpoint), in the order of the zones."
  value = {
    private  = [for zone in var.zones : aws_subnet.private[zone].id]
    public   = [for zone in var.zones : aws_subnet.public[zone].id]
    endpoint = [for zone in var.zones : aws_subnet.endpoint[zone].id]
  }
}

output "subnet_cidrs" {
  description = "Their ranges, alike."
  value       = { for kind, subnets in local.subnets : kind => [for zone in var.zones : subnets[zone]] }
}

output "route_table_ids" {
  description = "Route tables by name: private-<zone>, public, endpoint."
  value       = local.route_tables
}

output "endpoint_security_group_id" {
  description = "The security group of the interface endpoints."
  value       = aws_security_group.endpoints.id
}

output "nat_public_ips" {
  description = "Addresses from which the VPC is seen by the internet."
  value       = [for zone in local.nat_zones : aws_eip.nat[zone].public_ip]
}

output "service_client_cidrs" {
  description = "Ranges of the peers that reach services."
  value       = [for peer in values(local.services_peers) : peer.cidr]
}

output "peers" {
  description = "Peers by name: their VPC, and the route tables that lead here."
  value       = { for name in keys(var.peers) : name => { vpc_id = data.aws_vpc.peer[name].id, route_table_ids = data.aws_route_tables.peer[name].ids } }
}
