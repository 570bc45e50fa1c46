# Unit tests are one program a room, written with Check and run as TAP.
