# How it is reached: by name, over TLS, from inside. The load balancer speaks TLS to the machine, too,
# whose certificate it takes as it is.

resource "aws_lb" "this" {
  #checkov:skip=CKV_AWS_91:flow logs and Gitea's own log say who came; it is reached from inside only
  #checkov:skip=CKV2_AWS_28:a web application firewall is for what the internet reaches
  name                       = "${var.name}-gitea"
  internal                   = true
  load_balancer_type         = "application"
  subnets                    = var.network.load_balancer_subnet_ids
  security_groups            = [aws_security_group.load_balancer.id]
  drop_invalid_header_fields = true
  enable_deletion_protection = var.protected
  # A first push takes its time.
  idle_timeout = 300
}

resource "aws_lb_target_group" "this" {
  name                 = "${var.name}-gitea"
  port                 = 3000
  protocol             = "HTTPS"
  vpc_id               = var.network.vpc_id
  deregistration_delay = 30

  health_check {
    protocol            = "HTTPS"
    path                = "/api/healthz"
    matcher             = "200"
    interval            = 15
    healthy_threshold   = 2
    unhealthy_threshold = 4
  }
}

resource "aws_lb_target_group_attachment" "this" {
  target_group_arn = aws_lb_target_group.this.arn
  target_id        = aws_instance.server.id
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.address.certificate_arn != null ? var.address.certificate_arn : aws_acm_certificate_validation.this[0].certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}

resource "aws_route53_record" "host" {
  count = var.address.zone_id == null ? 0 : 1

  zone_id = var.address.zone_id
  name    = var.address.host
  type    = "A"

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = false
  }
}

resource "aws_acm_certificate" "this" {
  count = var.address.zone_id == null ? 0 : 1

  domain_name       = var.address.host
  validation_method = "DNS"

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_route53_record" "certificate" {
  count = var.address.zone_id == null ? 0 : 1

  zone_id         = var.address.zone_id
  name            = one(aws_acm_certificate.this[0].domain_validation_options).resource_record_name
  type            = one(aws_acm_certificate.this[0].domain_validation_options).resource_record_type
  records         = [one(aws_acm_certificate.this[0].domain_validation_options).resource_record_value]
  ttl             = 60
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "this" {
  count = var.address.zone_id == null ? 0 : 1

  certificate_arn         = aws_acm_certificate.this[0].arn
  validation_record_fqdns = [aws_route53_record.certificate[0].fqdn]
}
