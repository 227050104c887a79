use lambda_runtime::{run, service_fn, Error, LambdaEvent};
use serde_json::{json, Value};

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let (request, context) = event.into_parts();
    let order: Value = serde_json::from_str(request["body"].as_str().unwrap_or("{}"))?;
    let items = order["items"].as_array().map_or(&[][..], Vec::as_slice);
    let total: i64 = items.iter().filter_map(|item| item["price"].as_i64()).sum();
    println!("an order of {} items", items.len());
    Ok(json!({ "order": context.request_id, "total": total }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(handle)).await
}
