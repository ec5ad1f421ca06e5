# What has to be worked out of several values before it can be said whether they go together. A
# condition of a variable cannot be made of locals that are made of the same variable: so these are
# conditions of an output, which a plan has to fulfil like any other.

locals {
  # One table each, which tenantry_cloud reads, too.
  compatibility = jsondecode(file("${path.module}/compatibility.json"))
  endpoints     = jsondecode(file("${path.module}/../modules/network/endpoints.json"))

  algorithms    = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
  log_days      = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]
  instance_type = "^[a-z][a-z0-9-]*[.][a-z0-9-]+$"
  # At most three digits each: they are compared as one number.
  release  = "[0-9]{1,3}[.][0-9]{1,3}[.][0-9]{1,3}"
  graviton = "^[a-z]+[0-9]+g[a-z]*[.]" # m7g, c7gn, r8gd; not g5

  # The workstation's VPC is one more peer, in which all that it needs resolves.
  peers = merge(
    { for name, peer in var.network.peers : name => merge(peer, { tag = name }) },
    {
      for workstation in [var.workstation] : "workstation" => {
        cidr             = workstation.cidr
        vpc_id           = null
        reaches_services = true
        tag              = "${var.environment}-workstation"
      } if workstation != null
    },
  )

  ranges = merge(
    { "network.cidr" = var.network.cidr, "kubernetes.service_cidr" = var.kubernetes.service_cidr },
    { for name, peer in var.network.peers : "network.peers.${name}" => peer.cidr },
    { for workstation in [var.workstation] : "workstation.cidr" => workstation.cidr if workstation != null },
  )
  # Two ranges overlap where they are one at the shorter of their two prefixes.
  overlaps = flatten([
    for place, one in keys(local.ranges) : [
      for other in slice(keys(local.ranges), place + 1, length(local.ranges)) : "${one} and ${other}"
      if length(distinct([
        for range in [local.ranges[one], local.ranges[other]] :
        cidrhost("${split("/", range)[0]}/${min(split("/", local.ranges[one])[1], split("/", local.ranges[other])[1])}", 0)
      ])) == 1
    ]
  ])

  # Versions as numbers, to be compared: 1.35.4 is 1035004.
  version_pairs = [
    for name, addon in var.addons : {
      addon  = "${name} ${addon.version}"
      number = sum([for place, part in regex("^v?([0-9]+)[.]([0-9]+)[.]([0-9]+)", addon.version) : part * pow(1000, 2 - place)])
      range  = local.compatibility.addons[name].versions[var.kubernetes.version]
      bounds = [
        for version in local.compatibility.addons[name].versions[var.kubernetes.version] :
        sum([for place, part in split(".", version) : part * pow(1000, 2 - place)])
      ]
    }
  ]
  unsupported = [
    for pair in local.version_pairs : "${pair.addon} is not from ${pair.range[0]} and below ${pair.range[1]}"
    if pair.number < pair.bounds[0] || pair.number >= pair.bounds[1]
  ]
}

output "rules" {
  description = "True: the variables go together."
  value       = true

  precondition {
    condition     = length(local.overlaps) == 0
    error_message = "Ranges overlap: ${join("; ", local.overlaps)}. Packets between them would not know where to go."
  }
  precondition {
    condition     = length(local.unsupported) == 0
    error_message = "addons: with Kubernetes ${var.kubernetes.version}, ${join("; ", local.unsupported)}. compatibility.json has the pairs."
  }
}
