"""The web server that both proxies stand in front of."""


def app(environ, start_response):
    body = b"hello, world\n"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
