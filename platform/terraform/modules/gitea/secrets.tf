# Places for what the server makes up itself: Terraform never sees a value. A server that finds one
# missing makes it anew, so nothing is lost with a secret, and none waits to be deleted.

resource "aws_secretsmanager_secret" "this" {
  #checkov:skip=CKV2_AWS_57:no function rotates them: the server makes a new one when the old does not let it in, and registrations end with each job
  for_each = {
    admin          = "Gitea's administrator: username and password"
    runner-ci      = "Registers runners for developers' repositories"
    runner-release = "Registers runners for the repository of releases"
  }

  name                    = "${var.name}/gitea/${each.key}"
  description             = each.value
  kms_key_id              = aws_kms_key.gitea.arn
  recovery_window_in_days = 0
}

locals {
  # Secrets Manager puts a hyphen and six characters of its own at a name's end.
  secret_arns = {
    for what, secret in aws_secretsmanager_secret.this :
    what => "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:${secret.name}-??????"
  }
}
