# What is there already, by name: left behind by a state that was lost, or by an apply that was
# interrupted. It is looked up in lists, which are empty and no error when there is nothing.
# Alarms need no import: to put one that exists changes it.
data "aws_sqs_queues" "named" {
  for_each = { for what in ["queue", "dead_letter_queue"] : what => local.names[what] }

  queue_name_prefix = each.value
}

data "aws_dynamodb_tables" "all" {}

# The one index of associations that can be asked by tag; it may be minutes behind.
data "aws_resourcegroupstaggingapi_resources" "associations" {
  resource_type_filters = ["eks:podidentityassociation"]

  tag_filter {
    key    = "tenantry:environment"
    values = [var.environment]
  }

  tag_filter {
    key    = "tenantry:consumer-namespace"
    values = [local.namespace]
  }
}

locals {
  found_queues = {
    for what, found in data.aws_sqs_queues.named :
    what => one([for url in coalesce(found.queue_urls, []) : url if basename(url) == local.names[what]])
  }
  found_table = contains(coalesce(data.aws_dynamodb_tables.all.names, []), local.names.table)
  found_associations = {
    for found in data.aws_resourcegroupstaggingapi_resources.associations.resource_tag_mapping_list :
    lookup(found.tags, "tenantry:service-account", "") => basename(found.resource_arn)
    if strcontains(found.resource_arn, ":podidentityassociation/${var.cluster_name}/")
  }

  # As sets of what to import: none of what is not to be built.
  adopted = {
    messages     = toset(compact([local.is_built ? local.found_queues.queue : null]))
    dead_letters = toset(compact([local.is_built ? local.found_queues.dead_letter_queue : null]))
    table        = toset(local.is_built && local.found_table ? [local.names.table] : [])
    services     = { for service, id in local.found_associations : service => id if contains(keys(local.service_accounts), service) }
  }
}

import {
  for_each = local.adopted.messages
  to       = aws_sqs_queue.messages[0]
  id       = each.value
}

import {
  for_each = local.adopted.dead_letters
  to       = aws_sqs_queue.dead_letters[0]
  id       = each.value
}

import {
  for_each = local.adopted.table
  to       = aws_dynamodb_table.messages[0]
  id       = each.value
}

import {
  for_each = local.adopted.services
  to       = aws_eks_pod_identity_association.services[each.key]
  id       = "${var.cluster_name},${each.value}"
}
