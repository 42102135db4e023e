"""The HTTP APIs."""

import json
from collections.abc import Iterator

from rules.reading import arn, of_type


def every_route_asks_for_iam(template: dict) -> Iterator[str]:
    routes = []
    for name, api in of_type(template, "AWS::ApiGatewayV2::Api").items():
        schemes = api["Body"].get("components", {}).get("securitySchemes", {})
        signed = {k for k, v in schemes.items() if v.get("x-amazon-apigateway-authtype") == "awsSigv4"}
        for path, methods in api["Body"]["paths"].items():
            for method, operation in methods.items():
                routes.append(f"{method} {path}")
                asked = operation.get("security", [])
                if not asked or not all(set(scheme) and set(scheme) <= signed for scheme in asked):
                    yield f"{name}: {method} {path} is open"
                integration = operation["x-amazon-apigateway-integration"]
                if integration.get("payloadFormatVersion") != "2.0":
                    yield f"{name}: {method} {path} sends another payload format"
                # Longer than the function's own limit, for the start and the way back.
                if integration.get("timeoutInMillis") != 30000:
                    yield f"{name}: {method} {path} hangs up before the function ends"
    if sorted(routes) != ["get /dashboard", "post /backfill"]:
        yield f"the routes are {routes}"


def the_apis_are_throttled_and_repairs_are_logged(template: dict) -> Iterator[str]:
    stages = of_type(template, "AWS::ApiGatewayV2::Stage")
    for name, stage in stages.items():
        limits = stage.get("DefaultRouteSettings", {})
        if not 0 < limits.get("ThrottlingRateLimit", 0) <= 10:
            yield f"{name} has no rate limit"
        if not 0 < limits.get("ThrottlingBurstLimit", 0) <= 10:
            yield f"{name} has no burst limit"
    access = stages.get("BackfillApiApiGatewayDefaultStage", {}).get("AccessLogSettings", {})
    if access.get("DestinationArn") != arn("BackfillApiLogs"):
        yield "repairs are not logged"
        return
    try:
        fields = json.loads(access["Format"])
    except ValueError:
        yield "a line of the access log is not JSON"
        return
    if fields.get("caller") != "$context.identity.userArn":
        yield "the access log does not say who called"
