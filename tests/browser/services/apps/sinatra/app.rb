# Pages with the app's own absolute address, in single quotes and in none.
require "sinatra"

enable :sessions

PAGE = <<~HTML
  <!doctype html><title>Bakery</title><link rel=icon href="data:,">
  <h1>Bakery</h1>
HTML

get "/" do
  notes = (session[:notes] || []).map { |note| "<li>#{Rack::Utils.escape_html(note)}</li>" }.join
  PAGE + <<~HTML
    <form method=post action='#{url("/notes")}'>
      <input name=note aria-label=Note><button>Add</button></form>
    <ul>#{notes}</ul><a href=#{url("/orders")}>Orders</a>
  HTML
end

post "/notes" do
  session[:notes] = [*session[:notes], params[:note]]
  redirect "/"
end

get "/orders" do
  PAGE + "<h2>All orders</h2>"
end
