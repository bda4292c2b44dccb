"""The gRPC process: the embedded engine plus transport, nothing more.

`settings` says how it is configured; `app` puts a server together and `drain` ends it; `dispatch` is the one way by
which every call of every kind gets in: table of scopes (`scopes`), key or certificate (`keyring`), admission
(`admission`), then the body. The servicers only ever see a parsed, permitted message and a `Call`.
"""
