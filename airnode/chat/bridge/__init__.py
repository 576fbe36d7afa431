"""The bridge to Node.js servers that use ``@socket.io/redis-adapter``: they and airnode's nodes share rooms."""
