"""A Streamlit app: a button that counts, and a file that is read."""

from __future__ import annotations

import streamlit as st

st.title("Counting")
st.session_state.setdefault("clicks", 0)
if st.button("Count"):
    st.session_state["clicks"] += 1
st.write(f"{st.session_state['clicks']} clicks")
name = st.text_input("Name")
st.write(f"Hello {name}" if name else "Who are you?")
uploaded = st.file_uploader("A file")
if uploaded is not None:
    st.write(f"{uploaded.name}: {len(uploaded.getvalue())} bytes")
