package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

type order struct {
	Items []struct {
		Price int `json:"price"`
	} `json:"items"`
}

func handle(ctx context.Context, request events.LambdaFunctionURLRequest) (any, error) {
	var taken order
	if err := json.Unmarshal([]byte(request.Body), &taken); err != nil {
		return nil, fmt.Errorf("the order is no JSON: %w", err)
	}
	total := 0
	for _, item := range taken.Items {
		total += item.Price
	}
	fmt.Println("an order of", len(taken.Items), "items")
	return map[string]any{"order": request.RequestContext.RequestID, "total": total}, nil
}

func main() { lambda.Start(handle) }
