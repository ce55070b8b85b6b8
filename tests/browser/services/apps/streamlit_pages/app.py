"""A Streamlit app with two pages, each with a path of its own."""

from __future__ import annotations

import streamlit as st


def home() -> None:
    st.title("Counting")
    st.session_state.setdefault("clicks", 0)
    if st.button("Count"):
        st.session_state["clicks"] += 1
    st.write(f"{st.session_state['clicks']} clicks")


def orders() -> None:
    st.title("All orders")
    uploaded = st.file_uploader("A file")
    if uploaded is not None:
        st.write(f"Got {uploaded.name}")


pages = [st.Page(home, title="Home"), st.Page(orders, title="Orders", url_path="orders")]
st.navigation(pages).run()
