# Machines that run workflows. When one powers off its group makes the next; one that is there for long
# is replaced all the same.
#
#   ci       jobs of developers' repositories. Whoever opens a pull request writes what it runs: so it
#            gives its role and the metadata service away before, and powers off after one job
#   release  jobs of the one repository where releases are built. It may publish and sign. All that it
#            runs is merged, and it is asked every five minutes: it stays, of an image of Debian, since
#            Amazon Linux packages no buildah

locals {
  runners = {
    ci      = merge(var.runners.ci, { profile = aws_iam_instance_profile.runner["ci"].name, scope = var.git.organization })
    release = merge(var.runners.release, { profile = aws_iam_instance_profile.runner["release"].name, scope = var.git.release })
  }

  runner_settings = {
    for kind, runner in local.runners : kind => {
      REGION         = local.region
      KIND           = kind
      RUNNER_VERSION = var.runners.version
      RUNNER_SHA256  = var.runners.sha256
      PACKAGES       = join(" ", runner.packages)
      GITEA_URL      = "https://${var.address.host}/"
      TOKEN_SECRET   = "${var.name}/gitea/runner-${kind}"
      # It takes no job that its group would end: a job has three hours.
      STAYS = kind == "release" ? var.runners.lifetime_days * 86400 - 4 * 3600 : 0
    }
  }

  # What no package brings. Beside the runner's the sums are of linux-arm64 or -amd64, as the image is.
  runner_programs = {
    ci = {
      KUBECTL_VERSION   = var.runners.programs.kubectl.version
      KUBECTL_SHA256    = var.runners.programs.kubectl.sha256
      TERRAFORM_VERSION = var.runners.programs.terraform.version
      TERRAFORM_SHA256  = var.runners.programs.terraform.sha256
    }
    release = {
      COSIGN_VERSION        = var.runners.programs.cosign.version
      COSIGN_SHA256         = var.runners.programs.cosign.sha256
      PROVIDER_VERSION      = var.runners.provider.version
      PROVIDER_SHA256_AMD64 = var.runners.provider.sha256.amd64
      PROVIDER_SHA256_ARM64 = var.runners.provider.sha256.arm64
    }
  }
}

resource "aws_launch_template" "runner" {
  for_each = local.runners

  name                                 = "${var.name}-runner-${each.key}"
  description                          = "Runs jobs of ${each.value.scope}."
  image_id                             = data.aws_ami.runner[each.key].id
  instance_type                        = each.value.instance_type
  vpc_security_group_ids               = [aws_security_group.runner[each.key].id]
  instance_initiated_shutdown_behavior = "terminate"
  update_default_version               = true

  user_data = base64encode(join("\n", concat(
    ["#!/bin/bash", "set -euo pipefail"],
    [for name, value in merge(local.runner_settings[each.key], local.runner_programs[each.key]) : "readonly ${name}='${value}'"],
    [file("${path.module}/machines/common.sh"), file("${path.module}/machines/runner.sh")],
  )))

  iam_instance_profile {
    name = each.value.profile
  }
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "disabled"
  }
  block_device_mappings {
    device_name = data.aws_ami.runner[each.key].root_device_name
    ebs {
      volume_type           = "gp3"
      volume_size           = each.value.volume_gib
      encrypted             = true
      delete_on_termination = true
    }
  }
  monitoring {
    enabled = true
  }
}

resource "aws_autoscaling_group" "runner" {
  for_each = local.runners

  name                  = "${var.name}-runner-${each.key}"
  min_size              = each.value.machines
  max_size              = each.value.machines
  vpc_zone_identifier   = var.network.runner_subnet_ids
  max_instance_lifetime = var.runners.lifetime_days * 86400
  # A machine says that it is there by taking jobs; nothing waits for that.
  wait_for_capacity_timeout = "0"

  launch_template {
    id      = aws_launch_template.runner[each.key].id
    version = aws_launch_template.runner[each.key].latest_version
  }
  instance_refresh {
    strategy = "Rolling"
  }

  dynamic "tag" {
    for_each = merge(data.aws_default_tags.current.tags, { Name = "${var.name}-runner-${each.key}", "tenantry:runner" = "${var.name}-${each.key}" })
    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }
}

# A group's machines and their volumes do not get the provider's tags by themselves.
data "aws_default_tags" "current" {}
