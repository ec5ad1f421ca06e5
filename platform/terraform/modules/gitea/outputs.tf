output "url" {
  description = "Where it is, by its name."
  value       = "https://${var.address.host}"
}

output "load_balancer" {
  description = "The load balancer: what the name leads to, if its record is made elsewhere."
  value       = { arn = aws_lb.this.arn, dns_name = aws_lb.this.dns_name, zone_id = aws_lb.this.zone_id }
}

output "server" {
  description = "The machine, for Session Manager, and the volume with all that Gitea keeps."
  value       = { instance_id = aws_instance.server.id, data_volume_id = aws_ebs_volume.data.id }
}

output "secrets" {
  description = "Names in Secrets Manager, by what they hold."
  value       = { for what, secret in aws_secretsmanager_secret.this : what => secret.name }
}

output "roles" {
  description = "ARNs by role: gitea, runner-ci, runner-release."
  value = {
    for role, name in {
      gitea          = aws_iam_role.server.name
      runner-ci      = aws_iam_role.runner["ci"].name
      runner-release = aws_iam_role.runner["release"].name
    } : role => "arn:${local.partition}:iam::${local.account}:role/${name}"
  }
}
