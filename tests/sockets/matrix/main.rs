//! Every public future against every sick peer, over sockets.
