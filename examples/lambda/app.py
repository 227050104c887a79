"""A function of AWS Lambda, unchanged: an order comes by a function URL, or as the event itself."""

import json


def handler(event, context):
    order = json.loads(event["body"]) if "requestContext" in event else event
    if not order.get("items"):
        return {"statusCode": 400, "body": json.dumps({"error": "an order has items"})}
    print("order", context.aws_request_id, "of", len(order["items"]))
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"},
            "body": json.dumps({"order": context.aws_request_id, "total": sum(item["price"] for item in order["items"])})}
