# What holds between values.

locals {
  # Two ranges overlap where they are one at the shorter of their two prefixes.
  overlaps = [
    for client in var.clients : client
    if try(length(distinct([
      for range in [client, var.network.cidr] :
      cidrhost("${split("/", range)[0]}/${min(split("/", client)[1], split("/", var.network.cidr)[1])}", 0)
    ])) == 1, false)
  ]

  checksums = merge(
    { "gitea.sha256" = var.gitea.sha256, "runners.sha256" = var.runners.sha256 },
    { for name, program in var.runners.programs : "runners.programs.${name}.sha256" => program.sha256 },
    { for system, sha256 in var.runners.provider.sha256 : "runners.provider.sha256.${system}" => sha256 },
  )
  unknown_checksums = [for what, sha256 in local.checksums : what if sha256 == join("", [for digit in range(64) : "0"])]
}

output "rules" {
  description = "True: the variables go together."
  value       = true

  precondition {
    condition     = length(local.overlaps) == 0
    error_message = "clients: ${join(", ", local.overlaps)} overlaps with network.cidr, so that it cannot be peered. What is in the VPC reaches Gitea anyhow."
  }
}

# No condition of a plan: a file can be tried before somebody has looked them up.
check "checksums" {
  assert {
    condition     = length(local.unknown_checksums) == 0
    error_message = "${join(", ", local.unknown_checksums)}: not filled in. The download pages have them; until then the machines refuse what they get."
  }
}
