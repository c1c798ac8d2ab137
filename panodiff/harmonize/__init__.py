"""From files of five devices to radiographs of one kind: same framing, same size, same greys."""
