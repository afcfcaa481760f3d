enum PeerIdentityPlaceholder {}
