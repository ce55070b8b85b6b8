"""Flask-Admin for one table, which is edited by forms and in the list."""

from __future__ import annotations

from flask import Flask
from flask_admin import Admin
from flask_admin.contrib.sqla import ModelView
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.config["SECRET_KEY"] = "anything will do here"
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///bread.db"
db = SQLAlchemy(app)


class Loaf(db.Model):  # type: ignore[name-defined]
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(80))


class Loaves(ModelView):
    column_editable_list = ("name",)
    column_searchable_list = ("name",)


admin = Admin(app, name="Bakery")
admin.add_view(Loaves(Loaf, db.session, name="Loaves"))
with app.app_context():
    db.create_all()
app.run(port=15031)
