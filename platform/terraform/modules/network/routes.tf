# Route tables: one for each zone's private subnet, even with one NAT, so that a second one is added
# without a subnet changing its table.

locals {
  # By a name that is known before anything is made.
  route_tables = merge(
    { for zone, table in aws_route_table.private : "private-${zone}" => table.id },
    { public = aws_route_table.public.id, endpoint = aws_route_table.endpoint.id },
  )
}

resource "aws_route_table" "private" {
  for_each = local.subnets.private

  vpc_id = aws_vpc.this.id
  tags   = { Name = "${var.name}-private-${each.key}", "tenantry:vpc" = var.name }
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "${var.name}-public", "tenantry:vpc" = var.name }
}

resource "aws_route_table" "endpoint" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "${var.name}-endpoint", "tenantry:vpc" = var.name }
}

resource "aws_route_table_association" "private" {
  for_each = local.subnets.private

  subnet_id      = aws_subnet.private[each.key].id
  route_table_id = aws_route_table.private[each.key].id
}

resource "aws_route_table_association" "public" {
  for_each = local.subnets.public

  subnet_id      = aws_subnet.public[each.key].id
  route_table_id = aws_route_table.public.id
}

resource "aws_route_table_association" "endpoint" {
  for_each = local.subnets.endpoint

  subnet_id      = aws_subnet.endpoint[each.key].id
  route_table_id = aws_route_table.endpoint.id
}

resource "aws_route" "private_to_internet" {
  for_each = local.subnets.private

  route_table_id         = aws_route_table.private[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this[var.nat == "zone" ? each.key : local.nat_zones[0]].id
}

resource "aws_route" "public_to_internet" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this.id
}
