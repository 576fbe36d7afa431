"""Engine.IO 4 (socketio/engine.io-protocol, revision 4), without sockets and clocks."""
