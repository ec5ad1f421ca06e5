terraform {
  required_version = ">= 1.11"

  required_providers {
    # Exactly what was tested, and the same for Terraform and OpenTofu: a lock file would name the
    # registry of one of them. Modules say what they go with.
    aws = {
      source  = "hashicorp/aws"
      version = "= 5.100.0"
    }
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = var.account == null ? null : [var.account]

  # Of no environment: what says one is that one's to change. What says `shared` is none's.
  default_tags {
    tags = merge(var.tags, { "tenantry:shared" = "true" })
  }
}
