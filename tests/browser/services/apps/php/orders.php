<!doctype html>
<title>Orders</title>
<link rel="icon" href="data:,">
<h1>All orders</h1>
<form method="post" enctype="multipart/form-data">
  <input type="file" name="file" onchange="this.form.submit()">
</form>
<p><?php if (isset($_FILES['file'])) { echo 'Stored ', $_FILES['file']['size'], ' bytes'; } ?></p>
