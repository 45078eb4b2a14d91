"""mitmproxy's addon: set the credential, and stream content both ways."""


class Inject:
    def requestheaders(self, flow):
        flow.request.headers["Authorization"] = "@CREDENTIAL@"
        flow.request.headers["Host"] = "localhost"
        flow.request.stream = True

    def responseheaders(self, flow):
        flow.response.stream = True


addons = [Inject()]
