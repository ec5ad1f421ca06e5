# What is there already says something about a plan: its tags whose it is and where the tenant was,
# the table's protection whether somebody who can count has counted.
locals {
  # Of a resource that this module made for this instance.
  own_tags = {
    "tenantry:environment"        = var.environment
    "tenantry:consumer-namespace" = local.namespace
  }
}

data "aws_sqs_queue" "existing" {
  for_each = { for what, url in local.found_queues : what => local.names[what] if url != null }

  name = each.value

  lifecycle {
    postcondition {
      condition     = alltrue([for key, value in local.own_tags : lookup(self.tags, key, "") == value])
      error_message = "The queue ${each.value} exists, and its tags do not say that it is of ${var.instance.id} in ${var.environment}: it is somebody else's, and is left alone."
    }
  }
}

data "aws_dynamodb_table" "existing" {
  count = local.found_table ? 1 : 0

  name = local.names.table

  lifecycle {
    postcondition {
      condition     = alltrue([for key, value in local.own_tags : lookup(self.tags, key, "") == value])
      error_message = "The table ${local.names.table} exists, and its tags do not say that it is of ${var.instance.id} in ${var.environment}: it is somebody else's, and is left alone."
    }
    postcondition {
      condition     = local.is_pool || contains([local.target.tier, local.origin.tier, ""], lookup(self.tags, "tenantry:tier", ""))
      error_message = "${var.instance.id} is of tier ${lookup(self.tags, "tenantry:tier", "?")} and is to be ${var.instance.tier}: a tier changes by a transition only, and instance.transition.from says where the tenant is."
    }
    postcondition {
      condition     = local.is_pool || contains(concat(compact([local.target.pool, local.origin.pool]), [""]), lookup(self.tags, "tenantry:pool", ""))
      error_message = "${var.instance.id} is in ${lookup(self.tags, "tenantry:pool", "?")} and is to be in ${coalesce(var.instance.pool, "no pool")}: a pool changes by a transition only, and instance.transition.from says where the tenant is."
    }
    postcondition {
      condition     = local.is_built || !self.deletion_protection_enabled
      error_message = "The table ${local.names.table} is protected from deletion, and this plan would delete it and the queues: it is not known to be empty. Only who has seen queue, dead-letter queue and table empty takes the protection off the table."
    }
  }
}
