enum Libp2pPlaceholder {}
