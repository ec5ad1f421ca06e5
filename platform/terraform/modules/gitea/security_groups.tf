# Who talks to whom: clients and runners to the load balancer, it to the machine, and out by HTTPS
# only. DNS, time and metadata are no matter of security groups.

resource "aws_security_group" "load_balancer" {
  name        = "${var.name}-gitea-load-balancer"
  description = "Gitea by HTTPS: from environments, from where people work, and from runners."
  vpc_id      = var.network.vpc_id
  tags        = { Name = "${var.name}-gitea-load-balancer" }
}

resource "aws_security_group" "server" {
  name        = "${var.name}-gitea-server"
  description = "Gitea's machine: from its load balancer only."
  vpc_id      = var.network.vpc_id
  tags        = { Name = "${var.name}-gitea-server" }
}

resource "aws_security_group" "runner" {
  #checkov:skip=CKV2_AWS_5:the launch templates attach them, each kind its own
  for_each = toset(["ci", "release"])

  name        = "${var.name}-runner-${each.key}"
  description = "Runners of ${each.key}: nobody reaches them."
  vpc_id      = var.network.vpc_id
  tags        = { Name = "${var.name}-runner-${each.key}" }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = toset(var.client_cidrs)

  security_group_id = aws_security_group.load_balancer.id
  description       = "HTTPS from ${each.key}"
  cidr_ipv4         = each.key
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_ingress_rule" "runners" {
  for_each = aws_security_group.runner

  security_group_id            = aws_security_group.load_balancer.id
  description                  = "HTTPS from runners of ${each.key}"
  referenced_security_group_id = each.value.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_egress_rule" "load_balancer" {
  security_group_id            = aws_security_group.load_balancer.id
  description                  = "To Gitea"
  referenced_security_group_id = aws_security_group.server.id
  ip_protocol                  = "tcp"
  from_port                    = 3000
  to_port                      = 3000
}

resource "aws_vpc_security_group_ingress_rule" "server" {
  security_group_id            = aws_security_group.server.id
  description                  = "From the load balancer"
  referenced_security_group_id = aws_security_group.load_balancer.id
  ip_protocol                  = "tcp"
  from_port                    = 3000
  to_port                      = 3000
}

resource "aws_vpc_security_group_egress_rule" "https" {
  for_each = {
    server         = aws_security_group.server.id
    runner-ci      = aws_security_group.runner["ci"].id
    runner-release = aws_security_group.runner["release"].id
  }

  security_group_id = each.value
  description       = "HTTPS: AWS, packages, webhooks, Gitea"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}
