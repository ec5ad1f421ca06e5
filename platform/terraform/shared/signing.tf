# What releases are signed with. The private half never leaves KMS; the public half goes into the
# fleet, where Flux verifies chart and module with it.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  account_root = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root"
}

resource "aws_kms_key" "signing" {
  #checkov:skip=CKV_AWS_7:KMS rotates no asymmetric key; a new one is a new alias and a second public half in the fleet
  description              = "${var.registry.prefix}: signs charts, modules and images"
  key_usage                = "SIGN_VERIFY"
  customer_master_key_spec = "ECC_NIST_P256"
  deletion_window_in_days  = 30

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # All but signing: who administers the account signs nothing without writing that down here.
        Sid       = "AsIdentityPoliciesSay"
        Effect    = "Allow"
        Principal = { AWS = local.account_root }
        Action = [
          "kms:CancelKeyDeletion",
          "kms:CreateAlias",
          "kms:DeleteAlias",
          "kms:DescribeKey",
          "kms:DisableKey",
          "kms:EnableKey",
          "kms:GetKeyPolicy",
          "kms:GetKeyRotationStatus",
          "kms:GetPublicKey",
          "kms:ListResourceTags",
          "kms:PutKeyPolicy",
          "kms:ScheduleKeyDeletion",
          "kms:TagResource",
          "kms:UntagResource",
          "kms:UpdateAlias",
          "kms:UpdateKeyDescription",
          "kms:Verify",
        ]
        Resource = "*"
      },
      {
        Sid       = "ReleasesSign"
        Effect    = "Allow"
        Principal = { AWS = module.gitea.roles["runner-release"] }
        Action    = ["kms:DescribeKey", "kms:GetPublicKey", "kms:Sign"]
        Resource  = "*"
      },
    ]
  })
}

resource "aws_kms_alias" "signing" {
  name          = "alias/${var.registry.prefix}-signing"
  target_key_id = aws_kms_key.signing.key_id
}
