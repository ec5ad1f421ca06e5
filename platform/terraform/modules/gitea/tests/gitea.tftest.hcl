# Gitea and its runners without AWS. What their roles may do is for tests/platform/cloud, which takes
# the policies from these runs.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "000000000000" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-central-1" }
  }
  mock_data "aws_default_tags" {
    defaults = { tags = { project = "tenantry" } }
  }
  mock_data "aws_ami" {
    defaults = { id = "ami-0c2023a1b2c3d4e5f", root_device_name = "/dev/xvda" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::000000000000:role/a-role" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:000000000000:key/11111111-2222-3333-4444-555555555555" }
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
}

variables {
  name = "shared"
  network = {
    vpc_id                   = "vpc-00000001"
    server_subnet_id         = "subnet-00000001"
    server_zone              = "eu-central-1a"
    runner_subnet_ids        = ["subnet-00000001", "subnet-00000002", "subnet-00000003"]
    load_balancer_subnet_ids = ["subnet-00000004", "subnet-00000005", "subnet-00000006"]
  }
  client_cidrs = ["10.16.0.0/16", "10.15.0.0/24"]
  address      = { host = "gitea.example.com", zone_id = "Z0123456789ABCDEFGHIJ", certificate_arn = null }
  gitea = {
    version       = "1.26.1"
    sha256        = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    image         = "al2023-ami-2023.12.20260930.0-kernel-6.18-arm64"
    instance_type = "m7g.large"
    volume_gib    = 50
    restore_from  = null
  }
  snapshots = { hours = 6, kept = 28 }
  git       = { organization = "platform", repositories = ["tenantry", "fleet"], release = "release/tenantry" }
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
    ci      = { image = "al2023-ami-2023.12.20260930.0-kernel-6.18-arm64", machines = 2, instance_type = "m7g.xlarge", volume_gib = 60, packages = ["make", "gcc-c++"] }
    release = { image = "debian-12-arm64-20231013-1532", machines = 1, instance_type = "m7g.large", volume_gib = 60, packages = ["make"] }
  }
  publishes = {
    repository_arns = ["arn:aws:ecr:eu-central-1:000000000000:repository/tenantry/producer"]
    signing_key_arn = "arn:aws:kms:eu-central-1:000000000000:key/66666666-7777-8888-9999-000000000000"
  }
  protected = true
}

run "made_with_its_name" {
  assert {
    condition     = aws_ebs_volume.data.encrypted && aws_ebs_volume.data.kms_key_id == aws_kms_key.gitea.arn && aws_ebs_volume.data.size == 50
    error_message = "The data volume is encrypted with its own key."
  }
  assert {
    condition     = aws_ebs_volume.data.final_snapshot
    error_message = "What is on it is not deleted without a copy."
  }
  assert {
    condition     = aws_volume_attachment.data.volume_id == aws_ebs_volume.data.id && aws_volume_attachment.data.stop_instance_before_detaching
    error_message = "The volume is no part of the machine, and is written out before it leaves."
  }
  assert {
    condition     = one(one(aws_dlm_lifecycle_policy.data.policy_details).schedule).retain_rule[0].count == 28 && one(aws_dlm_lifecycle_policy.data.policy_details).target_tags == tomap({ "tenantry:snapshots" = aws_ebs_volume.data.tags["tenantry:snapshots"] })
    error_message = "Snapshots are of the data volume, and as many as is said."
  }
  assert {
    condition     = aws_instance.server.user_data_replace_on_change
    error_message = "Another version is another machine."
  }
  assert {
    condition     = alltrue([for options in concat(aws_instance.server.metadata_options, aws_launch_template.runner["ci"].metadata_options, aws_launch_template.runner["release"].metadata_options) : options.http_tokens == "required" && options.http_put_response_hop_limit == 1])
    error_message = "Metadata by session tokens, from the machine itself."
  }
  assert {
    condition     = aws_lb.this.internal && aws_lb.this.enable_deletion_protection && aws_lb_listener.https.ssl_policy == "ELBSecurityPolicy-TLS13-1-2-2021-06" && aws_lb_target_group.this.protocol == "HTTPS"
    error_message = "Reached from inside, by TLS to the end."
  }
  assert {
    condition     = length(aws_route53_record.host) == 1 && aws_lb_listener.https.certificate_arn == aws_acm_certificate_validation.this[0].certificate_arn
    error_message = "Name and certificate are made in the zone."
  }
  assert {
    condition     = { for kind, group in aws_autoscaling_group.runner : kind => [group.max_size, group.max_instance_lifetime] } == { ci = [2, 86400], release = [1, 86400] }
    error_message = "As many machines as is said, and none older than a day."
  }
  assert {
    condition     = alltrue([for template in aws_launch_template.runner : template.instance_initiated_shutdown_behavior == "terminate"])
    error_message = "A runner that powers off is gone, and its group makes another."
  }
  assert {
    condition     = { for kind, template in aws_launch_template.runner : kind => regex("readonly STAYS='([0-9]+)'", base64decode(template.user_data))[0] } == { ci = "0", release = "72000" }
    error_message = "One of ci takes one job; one of releases takes them until four hours before its group ends it."
  }
  assert {
    condition     = { for kind, image in data.aws_ami.runner : kind => image.owners } == { ci = tolist(["amazon"]), release = tolist(["136693071363"]) }
    error_message = "Images are of Amazon's and of Debian's own account: anybody may call one so."
  }
  assert {
    condition     = { for kind, template in aws_launch_template.runner : kind => toset([for line in regexall("readonly ([A-Z]+)_SHA256", base64decode(template.user_data)) : line[0]]) } == { ci = toset(["RUNNER", "KUBECTL", "TERRAFORM"]), release = toset(["RUNNER", "COSIGN", "PROVIDER"]) }
    error_message = "What no package brings is told by its SHA-256."
  }
  assert {
    condition     = alltrue([for kind, group in aws_autoscaling_group.runner : contains([for tag in group.tag : "${tag.key}=${tag.value}" if tag.propagate_at_launch], "tenantry:runner=shared-${kind}")])
    error_message = "A runner's machine says which it is: what it may change is found by that."
  }
  assert {
    condition     = length(base64encode(aws_instance.server.user_data)) < 21845 && alltrue([for template in aws_launch_template.runner : length(template.user_data) < 21845])
    error_message = "EC2 takes 16 KiB of user data."
  }
}

run "another_zone" {
  command = plan
  variables {
    network = {
      vpc_id                   = "vpc-00000001"
      server_subnet_id         = "subnet-00000002"
      server_zone              = "eu-central-1b"
      runner_subnet_ids        = ["subnet-00000001", "subnet-00000002", "subnet-00000003"]
      load_balancer_subnet_ids = ["subnet-00000004", "subnet-00000005", "subnet-00000006"]
    }
  }
  assert {
    condition     = aws_ebs_volume.data.availability_zone == "eu-central-1a"
    error_message = "The volume that is there stays: no empty one takes its place."
  }
}

run "with_a_certificate_that_is_there" {
  variables {
    address = { host = "gitea.example.com", zone_id = null, certificate_arn = "arn:aws:acm:eu-central-1:000000000000:certificate/there" }
  }
  assert {
    condition     = aws_lb_listener.https.certificate_arn == "arn:aws:acm:eu-central-1:000000000000:certificate/there" && length(aws_route53_record.host) + length(aws_acm_certificate.this) == 0
    error_message = "It is taken, and nothing is made in DNS."
  }
}

run "restored" {
  variables {
    gitea = {
      version       = "1.26.1"
      sha256        = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
      image         = "al2023-ami-2023.6.20241010.0-kernel-6.1-x86_64"
      instance_type = "m7i.large"
      volume_gib    = 50
      restore_from  = "snap-0123456789abcdef0"
    }
  }
  assert {
    condition     = aws_ebs_volume.data.snapshot_id == "snap-0123456789abcdef0"
    error_message = "The new volume is made of the snapshot."
  }
}

# Of each variable's rules those that are about one value; of the others see below.
run "what_is_none" {
  command         = plan
  expect_failures = [var.name, var.client_cidrs, var.address, var.gitea, var.snapshots, var.git, var.runners, var.publishes]
  variables {
    name         = "Shared"
    client_cidrs = ["0.0.0.0/0"]
    address      = { host = "gitea", zone_id = "zone", certificate_arn = null }
    gitea = {
      version       = "latest"
      sha256        = "none"
      image         = "al2023-ami-*"
      instance_type = "m7g"
      volume_gib    = 5
      restore_from  = "newest"
    }
    snapshots = { hours = 5, kept = 0 }
    git       = { organization = "Platform", repositories = [], release = "tenantry" }
    runners = {
      version       = "0.2.11"
      sha256        = "none"
      lifetime_days = 0
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
      ci      = { image = "latest", machines = 100, instance_type = "m7g.large", volume_gib = 1, packages = ["make; reboot"] }
      release = { image = "latest", machines = 1, instance_type = "m7g.large", volume_gib = 60, packages = [] }
    }
    publishes = {
      repository_arns = ["*"]
      signing_key_arn = "arn:aws:kms:eu-central-1:000000000000:key/66666666-7777-8888-9999-000000000000"
    }
  }
}

run "a_release_that_developers_could_write" {
  command         = plan
  expect_failures = [var.git]
  variables {
    git = { organization = "platform", repositories = ["tenantry"], release = "platform/release" }
  }
}

run "two_proofs_of_its_name" {
  command         = plan
  expect_failures = [var.address]
  variables {
    address = { host = "gitea.example.com", zone_id = "Z0123456789ABCDEFGHIJ", certificate_arn = "arn:aws:acm:eu-central-1:000000000000:certificate/there" }
  }
}

run "an_image_of_another_processor" {
  command         = plan
  expect_failures = [var.gitea, var.runners]
  variables {
    gitea = {
      version       = "1.26.1"
      sha256        = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
      image         = "al2023-ami-2023.12.20260930.0-kernel-6.18-arm64"
      instance_type = "m7i.large"
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
      ci      = { image = "al2023-ami-2023.6.20241010.0-kernel-6.1-x86_64", machines = 1, instance_type = "m7i.large", volume_gib = 60, packages = [] }
      release = { image = "debian-12-amd64-20231013-1532", machines = 1, instance_type = "m7g.large", volume_gib = 60, packages = [] }
    }
  }
}

run "an_image_without_buildah" {
  command         = plan
  expect_failures = [var.runners]
  variables {
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
      ci      = { image = "al2023-ami-2023.12.20260930.0-kernel-6.18-arm64", machines = 1, instance_type = "m7g.large", volume_gib = 60, packages = [] }
      release = { image = "al2023-ami-2023.12.20260930.0-kernel-6.18-arm64", machines = 1, instance_type = "m7g.large", volume_gib = 60, packages = [] }
    }
  }
}
