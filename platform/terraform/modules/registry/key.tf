# What the repositories are encrypted with. ECR takes its grants when a repository is made: who pulls
# needs no permission of the key's.

resource "aws_kms_key" "registry" {
  description             = "${var.prefix}: images, charts and modules in ECR"
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

resource "aws_kms_alias" "registry" {
  name          = "alias/${var.prefix}-registry"
  target_key_id = aws_kms_key.registry.key_id
}
