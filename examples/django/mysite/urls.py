from django.urls import path

from mysite import views

urlpatterns = [
    path("", views.book, name="book"),
    path("sign", views.sign, name="sign"),
    path("square/<int:number>", views.square, name="square"),
    path("fails", views.fails, name="fails"),
]
