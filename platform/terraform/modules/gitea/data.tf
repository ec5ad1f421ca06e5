# All that Gitea keeps: repositories, database, its own secrets. In one zone, as volumes are.

resource "aws_ebs_volume" "data" {
  availability_zone = var.network.server_zone
  snapshot_id       = var.gitea.restore_from
  size              = var.gitea.volume_gib
  type              = "gp3"
  encrypted         = true
  kms_key_id        = aws_kms_key.gitea.arn

  tags = { Name = "${var.name}-gitea-data", "tenantry:snapshots" = "${var.name}-gitea" }

  # Whatever deletes it, a plan too, leaves a snapshot of what was on it.
  final_snapshot = var.protected

  lifecycle {
    # What would make an empty one in its place. A machine in another zone does not get the volume, and
    # says so.
    ignore_changes = [availability_zone, encrypted, kms_key_id]
  }
}

resource "aws_volume_attachment" "data" {
  device_name = "/dev/sdf"
  volume_id   = aws_ebs_volume.data.id
  instance_id = aws_instance.server.id

  # Written out before it goes to the next machine.
  stop_instance_before_detaching = true
}
