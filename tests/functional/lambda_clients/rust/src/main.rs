// As one writes it for AWS Lambda with AWS's crate: an answer, an error, a panic, streamed answers, and a start that fails.

use lambda_runtime::streaming::channel;
use lambda_runtime::{service_fn, Error, FunctionResponse, LambdaEvent, MetadataPrelude, StreamResponse};
use serde_json::{json, Value};
use std::time::Duration;

type Answer = FunctionResponse<Value, lambda_runtime::streaming::Body>;

fn streamed(pause: Duration) -> Answer {
    let (mut sender, body) = channel();
    tokio::spawn(async move {
        for piece in ["one;", "two;", "three"] {
            if sender.send_data(piece.into()).await.is_err() {
                return;
            }
            tokio::time::sleep(pause).await;
        }
    });
    let head = MetadataPrelude { status_code: http::StatusCode::ACCEPTED, cookies: vec!["a=1".into()], ..Default::default() };
    FunctionResponse::StreamingResponse(StreamResponse { metadata_prelude: head, stream: body })
}

async fn handle(event: LambdaEvent<Value>) -> Result<Answer, Error> {
    let (payload, context) = event.into_parts();
    let wish = payload["wish"].as_str().or(payload["rawPath"].as_str()).unwrap_or("");
    match wish {
        "error" => return Err("nothing ordered".into()),
        "panic" => panic!("no stock"),
        "/stream" => return Ok(streamed(Duration::from_millis(20))),
        "/slow" => return Ok(streamed(Duration::from_secs(60))),
        "sleep" => tokio::time::sleep(Duration::from_secs(60)).await,
        _ => {}
    }
    Ok(FunctionResponse::BufferedResponse(json!({
        "event": payload, "bounded": context.deadline > 0, "id": !context.request_id.is_empty(),
        "arn": !context.invoked_function_arn.is_empty(), "memory": context.env_config.memory,
        "handler": std::env::var("_HANDLER").ok(), "task": std::env::var("LAMBDA_TASK_ROOT").ok(),
    })))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    if std::env::var("FAIL_INIT").is_ok() {
        return Err("no table name".into());
    }
    lambda_runtime::run(service_fn(handle)).await
}
