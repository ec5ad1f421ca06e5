# The whole root without AWS, of the variables file that is given:
#   terraform test -var-file=../../environments/shared.tfvars

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "000000000000" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-central-1", name = "eu-central-1" }
  }
  mock_data "aws_default_tags" {
    defaults = { tags = { project = "tenantry" } }
  }
  mock_data "aws_ami" {
    defaults = { id = "ami-0c2023a1b2c3d4e5f", root_device_name = "/dev/xvda" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:000000000000:key/11111111-2222-3333-4444-555555555555" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:000000000000:log-group:a-group" }
  }
  mock_resource "aws_vpc_endpoint" {
    defaults = { dns_entry = [{ dns_name = "vpce-1.vpce.amazonaws.com", hosted_zone_id = "Z1" }] }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::000000000000:role/a-role" }
  }
  mock_resource "aws_ebs_volume" {
    defaults = { id = "vol-0123456789abcdef0" }
  }
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0", latest_version = 1 }
  }
  mock_resource "aws_lb" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:000000000000:loadbalancer/app/shared-gitea/50dc6c495c0c9188" }
  }
  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:000000000000:targetgroup/shared-gitea/73e2d6bc24d8a067" }
  }
  mock_resource "aws_acm_certificate" {
    defaults = {
      arn = "arn:aws:acm:eu-central-1:000000000000:certificate/made"
      domain_validation_options = [{
        domain_name           = "gitea.example.com"
        resource_record_name  = "_1.gitea.example.com"
        resource_record_type  = "CNAME"
        resource_record_value = "_2.acm-validations.aws"
      }]
    }
  }

  override_resource {
    target = aws_kms_key.signing
    # Who may do what is for tests/platform/cloud, which takes the policies from this run.
    values = { arn = "arn:aws:kms:eu-central-1:000000000000:key/66666666-7777-8888-9999-000000000000" }
  }
}

# Checksums that are looked up, which the committed file leaves to its user: else a warning is told.
variables {
  gitea = {
    version       = "1.26.1"
    sha256        = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    image         = "al2023-ami-2023.12.20260930.0-kernel-6.18-arm64"
    instance_type = "t4g.medium"
    volume_gib    = 50
    restore_from  = null
  }
  runners = {
    version       = "0.2.13"
    sha256        = "123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0"
    lifetime_days = 1
    programs = {
      kubectl   = { version = "1.36.4", sha256 = "23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef01" }
      terraform = { version = "1.11.4", sha256 = "3456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef012" }
      cosign    = { version = "3.1.3", sha256 = "456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123" }
    }
    provider = {
      version = "5.100.0"
      sha256 = {
        amd64 = "56789abcdef0123456789abcdef0123456789abcdef0123456789abcdef01234"
        arm64 = "6789abcdef0123456789abcdef0123456789abcdef0123456789abcdef012345"
      }
    }
    ci      = { image = "al2023-ami-2023.12.20260930.0-kernel-6.18-arm64", machines = 1, instance_type = "m7g.large", volume_gib = 60, packages = ["make"] }
    release = { image = "debian-12-arm64-20231013-1532", machines = 1, instance_type = "m7g.large", volume_gib = 60, packages = ["make"] }
  }
}

run "made" {
  assert {
    condition     = output.rules
    error_message = "The variables go together."
  }
  assert {
    condition     = aws_kms_key.signing.key_usage == "SIGN_VERIFY" && aws_kms_key.signing.customer_master_key_spec == "ECC_NIST_P256"
    error_message = "Releases are signed with a key that cosign can use."
  }
  assert {
    condition     = output.signing_key.cosign == "awskms:///alias/tenantry-signing"
    error_message = "As cosign names keys in KMS."
  }
  assert {
    condition     = output.gitea.url == "https://gitea.example.com"
    error_message = "Gitea's own name."
  }
  assert {
    condition     = toset(keys(output.registry.repositories)) == toset(["consumer", "producer", "tenant-module", "tenant-template", "tenantctl", "tf-runner"]) && output.registry.address == "000000000000.dkr.ecr.eu-central-1.amazonaws.com"
    error_message = "Where each part of a release is pushed to."
  }
  assert {
    condition     = one(aws_iam_service_linked_role.spot).aws_service_name == "spot.amazonaws.com"
    error_message = "Karpenter starts Spot machines, and may not make their role."
  }
  assert {
    condition     = output.network.cidr == var.network.cidr
    error_message = "The range that environments peer with."
  }
}

run "an_account_that_has_the_role_for_spot" {
  command = plan
  variables {
    makes_spot_role = false
  }
  assert {
    condition     = length(aws_iam_service_linked_role.spot) == 0
    error_message = "There is one in an account, and AWS refuses a second."
  }
}

run "a_client_that_cannot_be_peered" {
  command         = plan
  expect_failures = [output.rules]
  variables {
    clients = ["10.16.0.0/16", "10.14.32.0/20"]
  }
}

run "checksums_that_nobody_looked_up" {
  command         = plan
  expect_failures = [check.checksums]
  variables {
    gitea = {
      version       = "1.26.1"
      sha256        = "0000000000000000000000000000000000000000000000000000000000000000"
      image         = "al2023-ami-2023.12.20260930.0-kernel-6.18-arm64"
      instance_type = "t4g.medium"
      volume_gib    = 50
      restore_from  = null
    }
  }
}

run "what_is_none" {
  command         = plan
  expect_failures = [var.region, var.account, var.tags]
  variables {
    region  = "Frankfurt"
    account = "12"
    tags    = { "Tenantry:environment" = "dev" }
  }
}

run "zones_of_another_region" {
  command         = plan
  expect_failures = [var.network]
  variables {
    network = {
      cidr                = "10.14.0.0/18"
      zones               = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
      nat                 = "one"
      interface_endpoints = []
      flow_log_days       = 30
    }
  }
}
