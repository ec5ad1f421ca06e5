terraform {
  # Of Terraform and of OpenTofu: the earliest that the tests run.
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7"
    }
  }
}
