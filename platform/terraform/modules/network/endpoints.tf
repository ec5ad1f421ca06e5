# Services of AWS inside the VPC. Gateways are free and serve what is routed from private subnets;
# interfaces have addresses, which network policies and peers can name.

locals {
  known_endpoints = jsondecode(file("${path.module}/endpoints.json"))
  endpoints       = { for service in var.interface_endpoints : service => local.known_endpoints[service] }

  # Of this account only: so nobody carries data out with an account of theirs.
  of_this_account = { "aws:PrincipalAccount" = local.account }
  of_own_resource = { "aws:ResourceAccount" = local.account }

  interface_policies = {
    for service, endpoint in local.endpoints : service => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Sid       = "PrincipalsOfThisAccount"
        Effect    = "Allow"
        Principal = "*"
        Action    = "*"
        Resource  = "*"
        Condition = merge(
          { StringEquals = local.of_this_account },
          # What lists has no resource, and so no account of one.
          try(endpoint.own_resources, false) ? { StringEqualsIfExists = local.of_own_resource } : {},
        )
      }]
    }) if !try(endpoint.no_policy, false)
  }
}

resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${local.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [for table in aws_route_table.private : table.id]
  tags              = { Name = "${var.name}-s3-gateway" }

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "OwnBuckets"
        Effect    = "Allow"
        Principal = "*"
        Action    = "s3:*"
        Resource  = "*"
        Condition = { StringEquals = merge(local.of_this_account, local.of_own_resource) }
      },
      {
        # Layers of images lie in buckets of others: ECR's, and those of registries.
        Sid       = "ReadAnything"
        Effect    = "Allow"
        Principal = "*"
        Action    = "s3:GetObject"
        Resource  = "*"
      },
    ]
  })
}

resource "aws_vpc_endpoint" "dynamodb" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${local.region}.dynamodb"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [for table in aws_route_table.private : table.id]
  tags              = { Name = "${var.name}-dynamodb-gateway" }

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OwnTables"
      Effect    = "Allow"
      Principal = "*"
      Action    = "dynamodb:*"
      Resource  = "*"
      Condition = { StringEquals = local.of_this_account, StringEqualsIfExists = local.of_own_resource }
    }]
  })
}

resource "aws_security_group" "endpoints" {
  name        = "${var.name}-endpoints"
  description = "Interface endpoints of AWS: HTTPS from the VPC, and from peers that reach services."
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-endpoints" }
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  for_each = merge({ vpc = var.cidr }, { for name, peer in local.services_peers : name => peer.cidr })

  security_group_id = aws_security_group.endpoints.id
  description       = "HTTPS from ${each.key}"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_endpoint" "interface" {
  for_each = local.endpoints

  vpc_id             = aws_vpc.this.id
  service_name       = "com.amazonaws.${local.region}.${each.key}"
  vpc_endpoint_type  = "Interface"
  subnet_ids         = [for zone in var.zones : aws_subnet.endpoint[zone].id]
  security_group_ids = [aws_security_group.endpoints.id]
  policy             = try(local.interface_policies[each.key], null)
  tags               = { Name = "${var.name}-${each.key}" }

  # Names that AWS makes resolve in this VPC alone; those below resolve in peers, too.
  private_dns_enabled = false
}

# A private zone hides the public names below its own in the VPCs that it is associated with: there,
# and only there, the service's name leads to the endpoint. A VPC can have one zone of a name, so a
# peer can reach the services of one environment.
resource "aws_route53_zone" "endpoint" {
  for_each = {
    for service, endpoint in local.endpoints : service => endpoint
    if !try(endpoint.peers_only, false) || length(local.services_peers) > 0
  }

  name    = replace(each.value.name, "REGION", local.region)
  comment = "${var.name}: the interface endpoint of ${each.key}"
  tags    = { Name = "${var.name}-${each.key}" }

  dynamic "vpc" {
    # S3 goes by its gateway here, which costs nothing.
    for_each = merge(
      try(each.value.peers_only, false) ? {} : { own = aws_vpc.this.id },
      { for name in keys(local.services_peers) : name => data.aws_vpc.peer[name].id },
    )
    content {
      vpc_id = vpc.value
    }
  }
}

resource "aws_route53_record" "endpoint" {
  for_each = merge(
    { for service, zone in aws_route53_zone.endpoint : service => { service = service, prefix = "" } },
    {
      # A registry's name begins with its account, a bucket's with its own.
      for service, zone in aws_route53_zone.endpoint : "${service} and below" => { service = service, prefix = "*." }
      if try(local.endpoints[service].and_below, false)
    },
  )

  zone_id = aws_route53_zone.endpoint[each.value.service].zone_id
  name    = "${each.value.prefix}${replace(local.endpoints[each.value.service].name, "REGION", local.region)}"
  type    = "A"

  alias {
    # S3's endpoint has a name for every bucket, "*.vpce-…": as a target, the star is itself.
    name                   = replace(aws_vpc_endpoint.interface[each.value.service].dns_entry[0].dns_name, "*", "\\052")
    zone_id                = aws_vpc_endpoint.interface[each.value.service].dns_entry[0].hosted_zone_id
    evaluate_target_health = false
  }
}
