# What copies tenants' Terraform states out of the cluster, and back into a new one. It deletes none:
# the bucket forgets by itself what was replaced long ago.

locals {
  # Without tofu-controller there is neither a state nor this role.
  state_copies = coalesce(var.state_copies, { bucket_arn = "none", key_arn = "none" })

  tfstate_backup = {
    addon       = "tofu-controller"
    description = "Copies tenants' Terraform states, and reads the copies."
    namespace   = "tenant-infra"
    accounts    = ["tfstate-backup"]
    statements = jsonencode([
      {
        Sid      = "KeepCopies"
        Effect   = "Allow"
        Action   = ["s3:PutObject", "s3:GetObject"]
        Resource = "${local.state_copies.bucket_arn}/*"
      },
      {
        # Without it S3 calls denied what is not there.
        Sid      = "ListCopies"
        Effect   = "Allow"
        Action   = "s3:ListBucket"
        Resource = local.state_copies.bucket_arn
      },
      {
        Sid       = "EncryptCopies"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = local.state_copies.key_arn
        Condition = { StringEquals = { "kms:ViaService" = "s3.${local.region}.amazonaws.com" } }
      },
    ])
  }
}
