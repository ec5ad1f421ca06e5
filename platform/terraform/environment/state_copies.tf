# Copies of the tenants' Terraform states, which are Secrets of the cluster (`tfstate-*` of
# tenant-infra) and would go with it. A role of modules/identity writes them.

resource "aws_kms_key" "state_copies" {
  description             = "${var.environment}: copies of tenants' Terraform states"
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

resource "aws_kms_alias" "state_copies" {
  name          = "alias/${var.environment}-tenantry-tfstate"
  target_key_id = aws_kms_key.state_copies.key_id
}

# Where the environment is protected, what holds copies is not deleted. `make destroy` takes that
# off, when no tenant is left whose state they could be.
resource "aws_s3_bucket" "state_copies" {
  bucket        = "${var.environment}-tenantry-tfstate-${local.account}"
  force_destroy = !var.protected
}

resource "aws_s3_bucket_public_access_block" "state_copies" {
  bucket                  = aws_s3_bucket.state_copies.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "state_copies" {
  bucket = aws_s3_bucket.state_copies.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "state_copies" {
  bucket = aws_s3_bucket.state_copies.id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.state_copies.arn
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "state_copies" {
  bucket = aws_s3_bucket.state_copies.id

  rule {
    id     = "forget-what-was-replaced"
    status = "Enabled"

    filter {}
    noncurrent_version_expiration {
      noncurrent_days = 90
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  depends_on = [aws_s3_bucket_versioning.state_copies]
}

resource "aws_s3_bucket_policy" "state_copies" {
  bucket = aws_s3_bucket.state_copies.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "NothingInTheClear"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.state_copies.arn, "${aws_s3_bucket.state_copies.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  depends_on = [aws_s3_bucket_public_access_block.state_copies]
}
