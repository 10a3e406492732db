"""The whole product on one bare machine, with stand-ins for the outside world."""
