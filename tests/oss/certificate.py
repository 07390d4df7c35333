"""A certificate for buckets of oss.localhost that no authority has signed, valid for a hundred years, with its key.

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key -out certificate -days 36500
    -subj /CN=oss.localhost -addext subjectAltName=DNS:localhost,DNS:oss.localhost,DNS:*.oss.localhost,IP:127.0.0.1
"""

KEY = b"""-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgiSz7ZAVWw1fY3VwP
dT6jZCwL3gZtjJgcENM+8tYxN0OhRANCAATnJe6MTSxzngTc6F+JRb9bBfvo2eyp
JEAbrrJIRo9OeqW0na+eBFM9HgvzoC7ZYxtIX6aOcpEalmOhfh6toZAk
-----END PRIVATE KEY-----
"""

CERTIFICATE = b"""-----BEGIN CERTIFICATE-----
MIIBxTCCAWugAwIBAgIUUCrwzogd2uzNfGI8n5BWOG4Zc+IwCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNb3NzLmxvY2FsaG9zdDAgFw0yNjExMjgwMTI1MDZaGA8yMTI2
MTEwNDAxMjUwNlowGDEWMBQGA1UEAwwNb3NzLmxvY2FsaG9zdDBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABOcl7oxNLHOeBNzoX4lFv1sF++jZ7KkkQBuuskhGj056
pbSdr54EUz0eC/OgLtljG0hfpo5ykRqWY6F+Hq2hkCSjgZAwgY0wHQYDVR0OBBYE
FK60hT2UjAPjjIRoj/57qXNGchCKMB8GA1UdIwQYMBaAFK60hT2UjAPjjIRoj/57
qXNGchCKMA8GA1UdEwEB/wQFMAMBAf8wOgYDVR0RBDMwMYIJbG9jYWxob3N0gg1v
c3MubG9jYWxob3N0gg8qLm9zcy5sb2NhbGhvc3SHBH8AAAEwCgYIKoZIzj0EAwID
SAAwRQIhALx9NAFRmcmLJsZwhECEeuue8F+iclyThJQ3M2sWCZV6AiAujB73lwcK
GiLxMQ4M9FC5sqysIEermwKIKuUmXlpd0Q==
-----END CERTIFICATE-----
"""
