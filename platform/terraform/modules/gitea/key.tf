# What the data volume, its snapshots and the secrets are encrypted with.

resource "aws_kms_key" "gitea" {
  description             = "${var.name}: Gitea's data and tokens"
  enable_key_rotation     = true
  deletion_window_in_days = 30

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AsIdentityPoliciesSay"
      Effect    = "Allow"
      Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
      Action    = "kms:*"
      Resource  = "*"
    }]
  })
}

resource "aws_kms_alias" "gitea" {
  name          = "alias/${var.name}-gitea"
  target_key_id = aws_kms_key.gitea.key_id
}
