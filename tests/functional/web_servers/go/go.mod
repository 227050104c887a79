module example/shelf

go 1.22
