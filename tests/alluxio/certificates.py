"""A certificate for localhost that no authority has signed, valid for a hundred years, with its key; for tests only.

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key -out certificate
    -days 36500 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1
"""

KEY = b"""-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjizEbp6YPjoS4qnu
tLI9gLbeZZsVJFXQxShvvGBgHjOhRANCAASVU3sI0tha7Mz1sxNnr1Eq8zw+mkjl
ucvdDSTDL6R0Gv6e/ZtVx5gNwaWNRAT3r1h9p/x/83qKlJ286x+ObW25
-----END PRIVATE KEY-----
"""

CERTIFICATE = b"""-----BEGIN CERTIFICATE-----
MIIBnDCCAUGgAwIBAgIUO7f3g14Anv5/Z669ejBVL83Zhx0wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNDAwMTI1NVoYDzIxMjYxMDMx
MDAxMjU1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASVU3sI0tha7Mz1sxNnr1Eq8zw+mkjlucvdDSTDL6R0Gv6e/ZtVx5gN
waWNRAT3r1h9p/x/83qKlJ286x+ObW25o28wbTAdBgNVHQ4EFgQU7iRqeLN1n143
J8xmMpWnK2mABicwHwYDVR0jBBgwFoAU7iRqeLN1n143J8xmMpWnK2mABicwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSQAwRgIhAIXPGAJdNIwuL4O9qvi7isMTdacv6f6DNMqejGz7Ai3QAiEA
wInpohJEBShjlirHqYbDqdA4Q4Bbd9+vkWlqbNeO35k=
-----END CERTIFICATE-----
"""
