# Where the instance lives: one place, and while it moves two. Both are built until `removing`.
locals {
  id_rule      = jsondecode(file("${path.module}/tenant_id.json"))
  pool_pattern = "^pool-[a-z0-9]+(-[a-z0-9]+)*$"

  is_pool = var.instance.kind == "pool"
  moving  = var.instance.transition != null
  phase   = local.moving ? var.instance.transition.phase : ""

  # A premium tenant is in no pool, whatever stands there.
  target = { tier = var.instance.tier, pool = var.instance.tier == "premium" ? null : var.instance.pool }
  origin = !local.moving ? local.target : {
    tier = var.instance.transition.from.tier
    pool = var.instance.transition.from.tier == "premium" ? null : var.instance.transition.from.pool
  }
  places = local.moving && local.phase != "removing" ? [local.target, local.origin] : [local.target]

  # Queue, dead-letter queue and table stand as soon as one of the places has them.
  is_built = local.is_pool || anytrue([for place in local.places : place.tier != "basic"])
  service_accounts = {
    for service, is_own in {
      producer = local.is_pool || anytrue([for place in local.places : place.tier == "premium"])
      consumer = local.is_built
    } : service => var.roles[local.is_pool ? "pool-${service}" : service] if is_own
  }

  # The pod's namespace has the instance's name. Who is not in it sends by its role: a pool's
  # producer may send wherever a placement of the environment leads.
  namespace = var.instance.id
  producer  = contains(keys(local.service_accounts), "producer") ? local.namespace : try(compact(local.places[*].pool)[0], null)

  # The place that traffic goes to. A basic one has nothing of its own that could say so.
  placed = contains(["provisioning", "copying"], local.phase) ? [local.origin, local.target] : [local.target, local.origin]
  tier   = local.is_pool ? "basic" : [for place in local.placed : place.tier if place.tier != "basic"][0]
  pool   = local.is_pool ? var.instance.id : local.placed[0].pool

  # Of a table that a tenant leaves for a pool: until all is copied, the pool's consumer reads here.
  moving_to = local.moving && local.target.tier == "basic" ? local.target.pool : null

  tags = merge(var.tags, {
    for key, value in {
      environment        = var.environment
      tenant             = local.is_pool ? null : var.instance.id
      tier               = local.tier
      pool               = local.pool
      moving-to          = local.moving_to
      producer-namespace = local.producer
      consumer-namespace = local.namespace
    } : "tenantry:${key}" => value if value != null
  })
}
