from django import forms

from .models import ReservedPort


class ReservePortForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    class Meta:
        model = ReservedPort
        fields = ["number", "label"]
        error_messages = {"number": {"unique": "This port is reserved already."}}
